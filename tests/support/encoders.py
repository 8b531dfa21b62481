"""Speech encoders of transformers for tests: tiny random ones, made on the spot."""

from pathlib import Path

import pytest
import torch

KINDS = ("wav2vec2", "hubert", "wavlm", "whisper")
DIM = 16


def tiny(kind: str, folder: Path, seed: int = 0) -> Path:
    """A random encoder of two layers with all that its family has."""
    package = pytest.importorskip("transformers", reason="the extra ssl is not installed")
    torch.manual_seed(seed)
    if kind == "whisper":
        config = package.WhisperConfig(
            d_model=DIM, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32, decoder_layers=1,
            decoder_attention_heads=2, decoder_ffn_dim=32, num_mel_bins=80, vocab_size=50, pad_token_id=0, bos_token_id=1,
            eos_token_id=2, decoder_start_token_id=1,
        )  # fmt: skip
        model, extractor = package.WhisperModel(config), package.WhisperFeatureExtractor()
    else:
        name = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}[kind]
        config = getattr(package, f"{name}Config")(
            hidden_size=DIM, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(8,) * 7,
            num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, feat_extract_norm="layer",
            do_stable_layer_norm=kind == "wavlm",
        )  # fmt: skip
        model = getattr(package, f"{name}Model")(config)
        extractor = package.Wav2Vec2FeatureExtractor(do_normalize=kind != "hubert")
    model.save_pretrained(folder, safe_serialization=True)
    extractor.save_pretrained(folder)
    return folder
