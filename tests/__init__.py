"""Each test opens with the claim it proves."""
