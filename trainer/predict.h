// Predictions on new texts over all ranks, in the order of the input, with bounded memory.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "data/readers/record.h"
#include "data/tokenizer/bert_tokenizer.h"
#include "trainer/comm/communicator.h"
#include "trainer/model/instance.h"

namespace berth::train {

struct PredictOptions {
  int max_length = 128;
  int64_t batch_size = 8;  // samples of one micro-batch
  int64_t window = 4096;   // records in memory at a time
  bool with_logits = false;
  at::ScalarType compute_type = at::kFloat;
};

// `next` gives the records one by one and false at the end; it is called on rank 0 only, as is `emit`, with each record and its
// prediction, in order. Records travel to the ranks a window at a time; micro-batches do not depend on the number of ranks.
// `stop`: give up between windows. A collective call. Returns the number of records.
int64_t predict(const ModelInstance& model, const data::BertTokenizer& tokenizer, comm::Communicator& comm,
                const PredictOptions& options, const std::function<bool(data::Record&)>& next,
                const std::function<void(const data::Record&, const nlohmann::ordered_json&)>& emit,
                const std::function<bool()>& stop);

}  // namespace berth::train
