"""Images: conversion of bytes and floats, masks, framing, blending, augmentation."""
