// Names of a model's tensors in the files people have, and in berth: one table, read in both directions.
//
// berth's names are those that transformers gives to a BERT with a head: "bert.encoder.layer.0.attention.self.query.weight",
// "classifier.weight". Files differ: relatives of BERT call the same things otherwise, a bare BertModel has no "bert.", old files say gamma and
// beta, wrapped ones begin with "module.", and some carry buffers or second copies of tied tensors.
#pragma once

#include <string>
#include <string_view>

namespace berth::train {

struct CanonicalName {
  std::string name;
  // A buffer, or a copy of a tied tensor: used if nothing else carries this name, and not worth mentioning if no parameter wants
  // it.
  bool redundant = false;
};

// `family`: what the names of its classes begin with, "Bert", "DistilBert" or "Electra".
CanonicalName canonical_name(std::string_view in_file, std::string_view family);

// What berth's parameter `name` is called in a file of class `architecture`, e.g. "DistilBertForMaskedLM": a bare model's names have no
// "distilbert.".
std::string name_in_file(std::string_view name, std::string_view architecture);

}  // namespace berth::train
