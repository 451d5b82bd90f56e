// Pretrained models in and out: Hugging Face model folders against a ParameterStore.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/model/parameters.h"

namespace berth::train {

struct PretrainedOptions {
  // A head or pooler that the files lack keeps the values it has (newly initialised). Without it everything must be there. The
  // encoder always must.
  bool allow_new_head = true;
  // A head of another shape counts as missing instead of being refused.
  bool ignore_mismatched_sizes = false;
};

struct PretrainedReport {
  std::vector<std::string> missing;     // parameters that kept their values
  std::vector<std::string> mismatched;  // those of them that the files have in another shape, "classifier.weight: [2, 384] in the
                                        // file, [4, 384] in the model"
  std::vector<std::string> unexpected;  // tensors of the files that no parameter takes, under the files' names
  std::map<std::string, std::string> sha256;  // weight file name -> digest
};

// Fills `parameters` from `folder`, fp32 whatever the files hold. All ranks call it; rank 0 alone reads, the others get its
// values by broadcast, bucket by bucket, and the same report. Throws Error(kBadInput) on rank 0 only (it ends the job): no
// weights, damaged files, wrong shapes, non-finite values, a missing encoder.
PretrainedReport load_pretrained(const std::filesystem::path& folder, ParameterStore& parameters, comm::Communicator& comm,
                                 const PretrainedOptions& options = {});

}  // namespace berth::train
