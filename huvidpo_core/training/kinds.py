"""What the losses are called in settings. Without PyTorch, so that a page can show settings before that is loaded."""

KINDS = ("huvidpo", "dense", "dense-sum")  # of `losses.preference_loss`
LOSS_TYPES = ("sigmoid", "robust", "hinge", "ipo")  # its shapes
KTO = "kto"  # `single.kto_loss`

REWARDS = {
    "huvidpo": "half of it times the mean of frames",
    "dense": "half of it times each frame",
    "dense-sum": "it times the sum of frames",
    KTO: "it times the mean of frames",
}
"""What is in a kind's sigmoid, of the errors' differences (`losses.preference_loss`)."""

ALIKE = ("huvidpo", "dense")  # of these one beta pulls alike
