// Pretrained models in and out: Hugging Face model folders against a ParameterStore.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "data/files/files.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/comm/communicator.h"
#include "trainer/model/config.h"
#include "trainer/model/parameters.h"

namespace berth::train {

struct PretrainedOptions {
  std::string_view family = kBert.class_prefix;  // whose names the files have
  // The files may lack a head or pooler. Without it everything must be there. The encoder always must.
  bool allow_new_head = true;
  // A head of another shape counts as missing instead of being refused.
  bool ignore_mismatched_sizes = false;
  bool with_digests = false;  // of the weight files, in the report: takes as long as reading them
  // Gives a parameter that the files lack its values, on rank 0; without it, it keeps what it has.
  std::function<void(const std::string& parameter)> initialize = {};
};

struct PretrainedReport {
  std::vector<std::string> missing;     // parameters that the files lack, by the files' names
  std::vector<std::string> mismatched;  // those of them that the files have in another shape, "classifier.weight: [2, 384] in the
                                        // file, [4, 384] in the model"
  std::vector<std::string> unexpected;  // tensors of the files that no parameter takes, under the files' names
  std::map<std::string, std::string> sha256;  // weight file name -> digest, if asked for
};

// Throws what load_pretrained would for the names and shapes of parameters, before there is a model: the sizes that a config.json
// claims are believed, and memory taken for them, only if the weights have them. A collective call; rank 0 alone reads.
void check_pretrained(const std::filesystem::path& folder, const std::vector<ParameterSpec>& specs, comm::Communicator& comm,
                      const PretrainedOptions& options = {});

// Fills `parameters` from `folder`, fp32 whatever the files hold. A collective call: rank 0 alone reads, the others get its
// values by broadcast, bucket by bucket, and the same report. Throws AgreedError(kBadInput): no weights, damaged files, wrong
// shapes, values that are not finite, a missing encoder.
PretrainedReport load_pretrained(const std::filesystem::path& folder, ParameterStore& parameters, comm::Communicator& comm,
                                 const PretrainedOptions& options = {});

// Tensors by name: AdamW::State.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// The parameters by the names that they have in a file of this architecture. Views.
NamedTensors weights_for_file(const BertConfig& config, const std::string& architecture, const ParameterStore& parameters);

using TokenizerWriter = std::function<std::vector<data::FileDigest>(const std::filesystem::path& folder)>;
// Writes a folder that transformers' from_pretrained loads: config.json naming the family's class for `architecture`, of a custom head kModelingFile, model.safetensors, and the files
// of `write_tokenizer` (BertTokenizer::save), which gets the folder. Each file is there whole or not at all; files of the same
// names are replaced. For rank 0 alone. Throws Error(kInternal) if a file cannot be written.
std::vector<data::FileDigest> save_pretrained(const std::filesystem::path& folder, const BertConfig& config,
                                              const std::string& architecture, const NamedTensors& weights,
                                              const TokenizerWriter& write_tokenizer);
std::vector<data::FileDigest> save_pretrained(const std::filesystem::path& folder, const BertConfig& config,
                                              const std::string& architecture, const ParameterStore& parameters,
                                              const TokenizerWriter& write_tokenizer);

// `tensors` in host memory, for write_safetensors; the views live as long as this.
class HostTensors {
 public:
  explicit HostTensors(const NamedTensors& tensors);
  const std::vector<TensorView>& views() const { return views_; }

 private:
  std::vector<at::Tensor> kept_;
  std::vector<TensorView> views_;
};

// Fills exactly these fp32 tensors, on comm.device() or the host, from a safetensors file, bit for bit; a collective call like load_pretrained. Throws
// AgreedError(kBadInput) if one is missing, has another shape, or the file has others.
void load_named_tensors(const std::filesystem::path& file, const NamedTensors& tensors, comm::Communicator& comm);

}  // namespace berth::train
