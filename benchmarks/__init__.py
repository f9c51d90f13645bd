"""Side by side with what people would otherwise use; never part of the tests."""
