"""Real training behind the numerics protocol; the only folder that imports torch, transformers and peft."""
