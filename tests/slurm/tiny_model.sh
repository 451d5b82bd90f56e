# Sourced: tiny_model FOLDER writes a Hugging Face folder with a config and a vocabulary of letters and no weights, for runs with
# --from-scratch where what is learnt does not matter.
tiny_model() {
  local folder=$1 letter
  mkdir -p "$folder"
  {
    printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' . , ! '?' "'" - : ';'
    for letter in {a..z} {0..9}; do printf '%s\n##%s\n' "$letter" "$letter"; done
  } >"$folder/vocab.txt"
  echo '{"do_lower_case": true, "tokenizer_class": "BertTokenizer"}' >"$folder/tokenizer_config.json"
  cat >"$folder/config.json" <<JSON
{
  "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "vocab_size": $(wc -l <"$folder/vocab.txt"),
  "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 128,
  "type_vocab_size": 2, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "initializer_range": 0.02,
  "layer_norm_eps": 1e-12, "pad_token_id": 0
}
JSON
}
