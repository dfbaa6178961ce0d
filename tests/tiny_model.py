"""A Hugging Face directory of a Llama of one tiny layer, for scripts that are about its text."""

import json
import struct

HIDDEN, WIDE = 32, 64
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": WIDE,
          "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "max_position_embeddings": 2048,
          "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True, "hidden_act": "silu"}


def write_model(directory, vocabulary, config=None):
    """Writes its weights, all zero, and its config.json, to which config adds; no tokenizer."""
    layer = "model.layers.0."
    shapes = {"model.embed_tokens.weight": [vocabulary, HIDDEN], "model.norm.weight": [HIDDEN],
              layer + "input_layernorm.weight": [HIDDEN], layer + "post_attention_layernorm.weight": [HIDDEN],
              layer + "mlp.gate_proj.weight": [WIDE, HIDDEN], layer + "mlp.up_proj.weight": [WIDE, HIDDEN],
              layer + "mlp.down_proj.weight": [HIDDEN, WIDE]}
    shapes |= {f"{layer}self_attn.{name}_proj.weight": [HIDDEN, HIDDEN] for name in "qkvo"}
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    written = json.dumps(header).encode()
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(written)) + written + bytes(end))
    (directory / "config.json").write_text(json.dumps(CONFIG | {"vocab_size": vocabulary} | (config or {})))
