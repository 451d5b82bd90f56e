"""What the live comparisons share: running berth, the models to begin with, and loading what it saved with transformers."""
import os
import subprocess

import transformers


def berth(program, *arguments, ranks=1):
    """Standard output of `berth ARGUMENTS` on `ranks` ranks of one thread."""
    launch = ["mpirun", "-np", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*launch, str(program), *map(str, arguments)], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Relatives of BERT: their config's class, a small model's sizes, and what they call their dropout.
RELATIVES = {
    "distilbert": (transformers.DistilBertConfig, dict(dim=64, n_layers=3, n_heads=4, hidden_dim=128, initializer_range=0.1),
                   ("dropout", "attention_dropout", "seq_classif_dropout", "qa_dropout")),
    "electra": (transformers.ElectraConfig, dict(embedding_size=48, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
                                                 intermediate_size=128, initializer_range=0.1),
                ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")),
}


def dropout(family, p):
    """The config's dropouts, all of them p."""
    return dict.fromkeys(RELATIVES[family][2] if family in RELATIVES else ("hidden_dropout_prob", "attention_probs_dropout_prob"), p)


def begin(kind, family, model_folder, **config):
    """The model of `model_folder` with a head of `kind`, or, of a relative of BERT, a small random one that has its vocabulary."""
    if family == "bert":
        return kind.from_pretrained(model_folder, **config)
    config_class, sizes, _ = RELATIVES[family]
    vocabulary = transformers.AutoConfig.from_pretrained(model_folder).vocab_size
    return kind.from_config(config_class(vocab_size=vocabulary, **sizes, **config))


def load(kind, folder):
    """The model of a folder, by transformers' class `kind`, which must find all its tensors there and no others."""
    model, info = kind.from_pretrained(folder, output_loading_info=True, trust_remote_code=True)  # of custom heads
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[key], (folder, key, info[key])
    return model.eval()
