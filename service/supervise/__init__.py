"""The server's processes: who starts them, who ends them, and that none outlives the others."""
