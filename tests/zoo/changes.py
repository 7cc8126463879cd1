"""What can have happened to a checkpoint on its way to somebody's disk: each function changes a folder.

Most return the change itself, so that a variant reads `changes=(shard(3), delete("model.safetensors.index.json"))`.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from . import tokenizers

Change = Callable[[Path], object]
WEIGHTS = "model.safetensors"


def load(folder: Path, name: str = WEIGHTS) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / name)


def save(tensors: dict, folder: Path, name: str = WEIGHTS) -> None:
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name, metadata={"format": "pt"})


def config(**entries) -> Change:
    """Set entries of config.json; None removes one, as `architectures=None`."""
    return edit("config.json", **entries)


def edit(name: str, **entries) -> Change:
    """Set entries of a JSON file; None removes one."""

    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text()) | entries
        content = {key: value for key, value in content.items() if value is not None}
        (folder / name).write_text(json.dumps(content, indent=1))

    return change


def tensors(action: Callable[[dict], dict]) -> Change:
    """Replace the weights by what `action` makes of them."""

    def change(folder: Path) -> None:
        save(action(load(folder)), folder)

    return change


def rename_tensors(old: str, new: str) -> Change:
    return tensors(lambda all_: {key.replace(old, new, 1): value for key, value in all_.items()})


def drop(part: str) -> Change:
    """Remove the tensors whose name contains `part`."""
    return tensors(lambda all_: {key: value for key, value in all_.items() if part not in key})


def put(name: str, value: float) -> Change:
    """Set one weight of a tensor to a number."""

    def action(all_: dict) -> dict:
        all_[name].view(-1)[7] = value
        return all_

    return tensors(action)


def extra(name: str, shape: tuple[int, ...]) -> Change:
    """Add a tensor of noise."""

    def action(all_: dict) -> dict:
        import torch

        kind = next(iter(all_.values())).dtype
        return all_ | {name: torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(kind)}

    return tensors(action)


def as_type(part: str, dtype: str) -> Change:
    """Store the tensors whose name contains `part` in another type, without any scale."""

    def action(all_: dict) -> dict:
        import torch

        return {key: value.to(getattr(torch, dtype)) if part in key else value for key, value in all_.items()}

    return tensors(action)


def shard(parts: int, pattern: str = "model-{:05d}-of-{:05d}.safetensors") -> Change:
    """Divide the weights among several files and write the index."""

    def change(folder: Path) -> None:
        all_ = load(folder)
        places = {key: pattern.format(1 + i * parts // len(all_), parts) for i, key in enumerate(all_)}
        for name in set(places.values()):
            save({key: all_[key] for key in all_ if places[key] == name}, folder, name)
        (folder / WEIGHTS).unlink()
        index = {"metadata": {"total_size": sum(value.nbytes for value in all_.values())}, "weight_map": places}
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))

    return change


def delete(*names: str) -> Change:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def move(old: str, new: str) -> Change:
    return lambda folder: (folder / old).rename(folder / new)


def copy_into(name: str) -> Change:
    """Put a copy of everything into a subfolder, as training leaves its checkpoints."""

    def change(folder: Path) -> None:
        files = [path for path in folder.iterdir() if path.is_file()]
        (folder / name).mkdir()
        for path in files:
            shutil.copy(path, folder / name)

    return change


def write(name: str, content: str | bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def lfs_pointer(name: str) -> Change:
    """Leave what `git clone` without Git LFS leaves."""
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "ab" * 32 + "\nsize 4400000000\n"
    return write(name, text)


def pickle(name: str = "pytorch_model.bin") -> Change:
    """Save the weights as a pickle too, in other numbers, so that it shows which file was read."""

    def change(folder: Path) -> None:
        import torch

        torch.save({key: -value for key, value in load(folder).items()}, folder / name)

    return change


def tokenizer_config(**entries) -> Change:
    return lambda folder: tokenizers.configure(folder, **entries)


def other_tokenizer(name: str) -> Change:
    """Put another tokenizer in the place of this one."""

    def change(folder: Path) -> None:
        for old in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json"):
            (folder / old).unlink(missing_ok=True)
        tokenizers.write(name, folder)

    return change


def add_tokens(*tokens: str) -> Change:
    """Add tokens to tokenizer.json alone; the embeddings are not resized."""
    return lambda folder: tokenizers.add_tokens(folder, *tokens)


def resize(rows: int) -> Change:
    """Give the embeddings and the head more rows, as `resize_token_embeddings` does, and say so in config.json."""

    def change(folder: Path) -> None:
        import torch

        source = torch.Generator().manual_seed(2)
        all_ = load(folder)
        for key in ("model.embed_tokens.weight", "lm_head.weight"):
            if key in all_:
                old = all_[key]
                new = 0.4 * torch.randn(rows - old.shape[0], old.shape[1], generator=source)
                all_[key] = torch.cat([old, new.to(old.dtype)])
        save(all_, folder)
        config(vocab_size=rows)(folder)

    return change


def fp8(block: int = 32) -> Change:
    """Store matrices in 8-bit floats with a scale for each block, as DeepSeek and Qwen publish them."""

    def change(folder: Path) -> None:
        import torch

        all_ = {}
        for key, value in load(folder).items():
            if key.endswith("proj.weight"):
                rows, columns = value.shape
                tiles = value.reshape(rows // block, block, columns // block, block)
                scale = tiles.abs().amax((1, 3)) / 448
                all_[key] = (tiles / scale[:, None, :, None]).reshape(rows, columns).to(torch.float8_e4m3fn)
                all_[f"{key}_scale_inv"] = scale
            else:
                all_[key] = value
        save(all_, folder)
        quantization = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic"}
        config(quantization_config=quantization | {"weight_block_size": [block, block]})(folder)

    return change


def gptq(bits: int = 4, group: int = 32) -> Change:
    """Store matrices as GPTQ does: codes packed into 32-bit integers along the input."""

    def change(folder: Path) -> None:
        import torch

        all_ = {}
        for key, value in load(folder).items():
            if not key.endswith("proj.weight"):
                all_[key] = value
                continue
            base, w = key.removesuffix(".weight"), value.T.contiguous()  # (in, out)
            groups = w.reshape(-1, group, w.shape[1])
            scale = groups.abs().amax(1) / 7
            codes = ((groups / scale[:, None]).round() + 8).clamp(0, 15).to(torch.int64).reshape(w.shape)
            per = 32 // bits
            packed = sum(codes[i::per] << (bits * i) for i in range(per))
            zeros = torch.full((scale.shape[0], w.shape[1] // per), 0x77777777, dtype=torch.int32)  # 8, stored as 7
            packed = torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)
            indices = torch.arange(w.shape[0], dtype=torch.int32) // group
            all_ |= {f"{base}.qweight": packed, f"{base}.qzeros": zeros}
            all_ |= {f"{base}.scales": scale.half(), f"{base}.g_idx": indices}
        save(all_, folder)
        quantization = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": False, "sym": True}
        config(quantization_config=quantization)(folder)

    return change


def base_of(folder: Path) -> Path:
    """Return where the base model of an adapter's folder lies."""
    return folder.with_name(f"{folder.name} base")


def lora(rank: int = 4) -> Change:
    """Turn the folder into an adapter's, its base model in a folder beside it."""

    def change(folder: Path) -> None:
        import torch

        source = torch.Generator().manual_seed(3)
        adapter = {}
        for key, value in load(folder).items():
            if "q_proj" in key or "down_proj" in key:
                name = f"base_model.model.{key.removesuffix('.weight')}"
                rows, columns = value.shape
                adapter[f"{name}.lora_A.weight"] = torch.randn(rank, columns, generator=source) / columns**0.5
                adapter[f"{name}.lora_B.weight"] = torch.randn(rows, rank, generator=source) / rank**0.5
        shutil.move(folder, base_of(folder))
        folder.mkdir()
        save(adapter, folder, "adapter_model.safetensors")
        settings = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": str(base_of(folder)),
            "r": rank,
            "lora_alpha": 8,
            "target_modules": ["q_proj", "down_proj"],
            "bias": "none",
            "fan_in_fan_out": False,
            "use_rslora": False,
            "modules_to_save": None,
        }
        (folder / "adapter_config.json").write_text(json.dumps(settings))

    return change
