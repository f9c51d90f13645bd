"""What people would otherwise run, and ourselves: a script each, all speaking the protocol of protocol.py."""
