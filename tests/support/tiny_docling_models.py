"""Makes the folder that Docling calls `artifacts_path`, with tiny models, in a second and without a model hub.

The files have the names, formats and config keys that Docling's own loaders read, so loading, device placement and
every stage run by Docling's own code. The weights are not trained: what the models find means nothing, except that

- the layout model calls a few regions of every page a table, so that the table stage has work;
- TableFormer always spells the same table of three rows and two columns (header cell, cell, new line).

Docling keeps the text that no region claims, so the text of a page arrives whatever the layout model says.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

LAYOUT_FOLDER = "docling-project--docling-layout-heron"
TABLE_FOLDER = "docling-project--docling-models"
# The labels of Docling's layout models, in their order.
LABELS = (
    "caption",
    "footnote",
    "formula",
    "list_item",
    "page_footer",
    "page_header",
    "picture",
    "section_header",
    "table",
    "text",
    "title",
    "document_index",
    "code",
    "checkbox_selected",
    "checkbox_unselected",
    "form",
    "key_value_region",
)
# TableFormer's vocabulary.
TAGS = ("<pad>", "<unk>", "<start>", "<end>", "ecel", "fcel", "lcel", "ucel", "xcel", "nl", "ched", "rhed", "srow")
NEXT_TAG = {"<start>": "rhed", "rhed": "fcel", "fcel": "nl", "nl": "rhed"}
ROWS = 3


def make_models(folder: Path, *, tables_per_page: int = 2) -> Path:
    """Fill `folder` and return it. `tables_per_page` 0 makes a layout model that finds nothing."""
    make_layout_model(folder / LAYOUT_FOLDER, tables_per_page)
    make_table_models(folder / TABLE_FOLDER / "model_artifacts" / "tableformer")
    return folder


def make_torch_ocr_models(folder: Path) -> Path:
    """Fill `folder` with untrained models for RapidOCR's torch engine, in its own architectures; return `folder`."""
    import torch
    from omegaconf import OmegaConf
    from rapidocr.inference_engine.pytorch.networks.architectures.base_model import BaseModel
    from rapidocr.inference_engine.pytorch.networks.main import ModelLoader

    torch.manual_seed(0)
    ocr = folder / "RapidOcr"
    ocr.mkdir(parents=True)
    architectures = OmegaConf.load(ModelLoader.DEFAULT_CFG_PATH)
    for name in ("PP-OCRv6_det_small", "PP-OCRv6_rec_small", "ch_ppocr_mobile_v2.0_cls_mobile"):
        torch.save(BaseModel(architectures[name]).state_dict(), ocr / f"{name}.pth")
    alphabet = architectures["PP-OCRv6_rec_small"].Head.out_channels_list.CTCLabelDecode - 2  # blank and space
    first = 0x4E00  # CJK ideographs: as many letters as are needed, none of them a space
    (ocr / "ppocrv6_dict.txt").write_text("\n".join(chr(first + index) for index in range(alphabet)), encoding="utf-8")
    return folder


def make_layout_model(folder: Path, tables_per_page: int) -> None:
    """An RT-DETR v2 of half a million parameters."""
    import torch
    from transformers import RTDetrImageProcessor, RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    torch.manual_seed(0)
    config = RTDetrV2Config(
        backbone_config=RTDetrResNetConfig(
            embedding_size=16,
            hidden_sizes=[16, 32, 64, 128],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        encoder_hidden_dim=32,
        encoder_in_channels=[32, 64, 128],
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        d_model=32,
        num_queries=max(1, tables_per_page),
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        num_denoising=0,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model = RTDetrV2ForObjectDetection(config).eval()
    with torch.no_grad():
        for head in model.model.decoder.class_embed:
            head.weight.zero_()
            head.bias.fill_(-6.0)  # a score of 0.002, far below Docling's threshold
            if tables_per_page:
                head.bias[LABELS.index("table")] = 2.0  # 0.88, above it
        for head in model.model.decoder.bbox_embed:  # boxes stay where the first step put them
            head.layers[-1].weight.zero_()
            head.layers[-1].bias.zero_()
        # The first step's own boxes: a page's width and a tenth of its height, at the anchors.
        model.model.enc_bbox_head.layers[-1].weight.zero_()
        model.model.enc_bbox_head.layers[-1].bias.copy_(torch.tensor([0.0, 0.0, 3.0, 0.5]))
    model.save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 640, "width": 640}).save_pretrained(folder)


def make_table_models(folder: Path) -> None:
    """TableFormer V1, `fast` and `accurate`, made small by its `tm_config.json`: one layer, a 7x7 encoding."""
    from docling_ibm_models.tableformer.models.table04_rs.tablemodel04_rs import TableModel04_rs
    from safetensors.torch import save_model

    config = table_config()
    words = {"word_map": config["dataset_wordmap"]}
    model = TableModel04_rs(config | {"model": config["model"] | {"save_dir": str(folder)}}, words, "cpu").eval()
    _spell_one_table(model._tag_transformer)
    for mode in ("fast", "accurate"):
        (folder / mode).mkdir(parents=True)
        (folder / mode / "tm_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_model(model, str(folder / "fast" / "tableformer_fast.safetensors"))
    os.link(folder / "fast" / "tableformer_fast.safetensors", folder / "accurate" / "tableformer_accurate.safetensors")


def table_config() -> dict[str, Any]:
    return {
        "dataset": {
            "type": "TF_prepared",
            "name": "TF",
            "image_normalization": {"state": True, "mean": [0.94, 0.94, 0.94], "std": [0.18, 0.18, 0.18]},
            "resized_image": 112,
        },
        "model": {
            "type": "TableModel04_rs",
            "name": "tiny",
            "save_dir": "",
            "backbone": "resnet18",
            "enc_image_size": 7,
            "tag_embed_dim": 16,
            "hidden_dim": 512,
            "tag_decoder_dim": 512,
            "bbox_embed_dim": 256,
            "tag_attention_dim": 256,
            "bbox_attention_dim": 64,
            "enc_layers": 1,
            "dec_layers": 1,
            "nheads": 2,
            "dropout": 0.1,
            "bbox_classes": 2,
        },
        "train": {"bbox": True, "epochs": 1},
        "predict": {
            "max_steps": 3 * ROWS,
            "beam_size": 1,
            "bbox": True,
            "pdf_cell_iou_thres": 0.05,
            "padding": False,
            "padding_size": 10,
        },
        "dataset_wordmap": {
            "word_map_tag": {tag: index for index, tag in enumerate(TAGS)},
            "word_map_cell": {"<pad>": 0, "<unk>": 1, "<start>": 2, "<end>": 3},
        },
    }


def _spell_one_table(transformer: Any) -> None:
    """Make the tag that comes next a function of the last one, by weights alone; every layer still runs."""
    import torch

    with torch.no_grad():
        for layer in transformer._decoder.layers:
            for part in (layer.self_attn.out_proj, layer.multihead_attn.out_proj, layer.linear2):
                part.weight.zero_()
                part.bias.zero_()
        transformer._embedding.weight.zero_()
        transformer._fc.weight.zero_()
        transformer._fc.bias.zero_()
        for tag, index in ((tag, index) for index, tag in enumerate(TAGS)):
            transformer._embedding.weight[index, index] = 40.0  # well above the positional encoding's 1.0
            if tag in NEXT_TAG:
                transformer._fc.weight[TAGS.index(NEXT_TAG[tag]), index] = 1.0
