"""dlib's cascade of regression trees in JAX: file format, prediction and gradient."""
