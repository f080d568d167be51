"""What the losses are called in settings. Without PyTorch, so that a page can show settings before that is loaded."""

KINDS = ("huvidpo", "dense", "dense-sum")  # of `losses.preference_loss`
LOSS_TYPES = ("sigmoid", "robust", "hinge", "ipo")  # its shapes
KTO = "kto"  # `single.kto_loss`
