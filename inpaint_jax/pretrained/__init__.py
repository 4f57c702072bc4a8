"""Reads and writes trained networks: releases, training runs and other formats."""
