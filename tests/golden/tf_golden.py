"""Makes tests/golden/checkpoint/tf_*.h5: tiny models as transformers saved them with TensorFlow (tf_model.h5).

Run with the last versions that could: tensorflow-cpu 2.18, tf-keras 2.18, transformers 4.49 (they stand in the way of those in reference.txt, so in an
environment of their own): TF_USE_LEGACY_KERAS=1 python tests/golden/tf_golden.py
Each variable holds what checkpoint_goldens.py's values() gives for the name that its tensor has in PyTorch, transposed where transformers would
transpose it; both are said by convert_tf_weight_name_to_pt_weight_name (transformers 4, modeling_tf_pytorch_utils.py).
"""
import pathlib
import shutil
import tempfile

import numpy
import transformers
from transformers.modeling_tf_pytorch_utils import TransposeType, convert_tf_weight_name_to_pt_weight_name

OUT = pathlib.Path(__file__).parent / "checkpoint"
SIZES = dict(vocab_size=11, hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=6, max_position_embeddings=5)
MODELS = {
    "TFBertForPreTraining": transformers.BertConfig(**SIZES),
    "TFDistilBertForMaskedLM": transformers.DistilBertConfig(vocab_size=11, dim=4, n_layers=1, n_heads=2, hidden_dim=6, max_position_embeddings=5),
    "TFElectraForSequenceClassification": transformers.ElectraConfig(embedding_size=3, **SIZES),
}


def values(name, shape):
    return (numpy.arange(1, numpy.prod(shape) + 1, dtype=numpy.float32) / 8 + len(name)).reshape(shape)


def main():
    for kind, config in MODELS.items():
        model = getattr(transformers, kind)(config)
        model.build_in_name_scope()
        for variable in model.weights:
            name, transpose = convert_tf_weight_name_to_pt_weight_name(variable.name, tf_weight_shape=variable.shape)
            shape = variable.shape.as_list()
            variable.assign(values(name, shape[::-1]).T if transpose == TransposeType.SIMPLE else values(name, shape))
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            shutil.copyfile(pathlib.Path(folder) / "tf_model.h5", OUT / f"{kind}.h5")


if __name__ == "__main__":
    main()
