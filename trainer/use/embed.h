// Texts as vectors: the hidden states of an encoder, pooled, as sentence-transformers makes them; over all ranks, in the order of the
// input, with bounded memory.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "data/samples/record.h"
#include "data/tokenizer/bert_tokenizer.h"
#include "trainer/comm/communicator.h"
#include "trainer/model/config.h"
#include "trainer/model/text_pooling.h"
#include "trainer/use/deal.h"
#include "trainer/use/precision.h"

namespace berth::train {

class BertEncoder;
class ParameterStore;

struct EmbedOptions : DealOptions {
  // Unset: what the folder says (checkpoint/sentence_modules.h).
  std::optional<TextPooling> pooling = {};  // not kPooler
  std::optional<bool> normalize = {};       // to the length 1
  std::optional<int> max_length =
      {};  // tokens of a text, special ones included; longer texts are cut. At most the model's positions
  PrecisionOptions precision = {};

  void validate() const;  // Error(kUsage)
};

struct SentenceEncoder {
  std::filesystem::path folder;
  BertConfig config;
  std::optional<data::BertTokenizer> tokenizer;
  std::shared_ptr<ParameterStore> parameters;
  std::shared_ptr<BertEncoder> encoder;
  TextPooling pooling = TextPooling::kMean;
  bool normalize = false;
  int max_length = 0;
  std::string prompt;  // before each text

  int64_t size() const { return config.hidden_size; }
};

// `name`: a folder, or a name in the local Hugging Face cache; with a head or without one, which is not read. Collective; rank 0
// reads. Throws comm::AgreedError.
SentenceEncoder load_sentence_encoder(const std::string& name, const EmbedOptions& options, comm::Communicator& comm);

// One vector [size()] a record; the two texts of a pair are one sequence, as BERT has them. As deal_records().
bool embed(const SentenceEncoder& model, comm::Communicator& comm, const EmbedOptions& options,
           const std::function<bool(data::Record&)>& next,
           const std::function<void(const data::Record&, std::span<const float>)>& emit, const std::function<bool()>& stop);

// The cosine of the angle between the vectors of a record's two texts. As deal_records(); a record without a second text is an
// Error(kBadInput).
bool compare_pairs(const SentenceEncoder& model, comm::Communicator& comm, const EmbedOptions& options,
                   const std::function<bool(data::Record&)>& next, const std::function<void(const data::Record&, double)>& emit,
                   const std::function<bool()>& stop);

}  // namespace berth::train
