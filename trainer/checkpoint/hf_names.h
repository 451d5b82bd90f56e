// Names of BERT's tensors in the files people have, and in berth: one table, read in both directions.
//
// berth's names are those that transformers gives to a model with a head: "bert.encoder.layer.0.attention.self.query.weight",
// "classifier.weight". Files differ: a bare BertModel has no "bert.", old ones say gamma and beta, wrapped ones begin with
// "module.", and some carry buffers or second copies of tied tensors.
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

CanonicalName canonical_name(std::string_view in_file);

// What berth's parameter `name` is called in a file of class `architecture`: BertModel's names have no "bert.".
std::string name_in_file(std::string_view name, std::string_view architecture);

}  // namespace berth::train
