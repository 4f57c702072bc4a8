"""Images: bytes and floats, masks, framing, blending, augmentation."""
