"""Choose: which variant answers a job and whether it answers as the reference does, and how many workers there are."""
