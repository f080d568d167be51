"""A CLIP from the Hugging Face Hub as the scorer of an evaluation."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel


class HubClip:
    """`semantic.ClipScorer` on a folder with a `CLIPModel`, its tokenizer and its image processor."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.model = CLIPModel.from_pretrained(folder, local_files_only=True).to(device).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)

    @torch.inference_mode()
    def image(self, frames: np.ndarray) -> np.ndarray:
        """Pictures, uint8 (n, h, w, 3), as unit vectors, float32 (n, d)."""
        pixels = self.processor(list(frames), return_tensors="pt").pixel_values.to(self.model.device)
        features = self.model.visual_projection(self.model.vision_model(pixels).pooler_output)
        return F.normalize(features.float(), dim=-1).cpu().numpy()

    @torch.inference_mode()
    def text(self, texts: list[str]) -> np.ndarray:
        """Texts as unit vectors, float32 (n, d); what exceeds CLIP's 77 tokens is cut off."""
        tokens = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(self.model.device)
        features = self.model.text_projection(self.model.text_model(**tokens).pooler_output)
        return F.normalize(features.float(), dim=-1).cpu().numpy()
