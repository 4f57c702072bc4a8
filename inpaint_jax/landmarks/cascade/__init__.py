"""dlib's cascade of regression trees, read from its file and run inside the graph."""
