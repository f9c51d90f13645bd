"""The Open Inference Protocol, version 2, over REST, with Triton's extensions: binary tensors, model repository."""
