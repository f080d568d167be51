"""Stage 1 (motion) and stage 2 (preference) training of the video UNet."""
