// The table that closes a run: a row for each evaluation, as transformers writes it into model cards.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace berth::train {

// Markdown: Training Loss | Epoch | Step | Validation Loss, then the evaluations' other metrics. The training loss is the last
// one logged before the evaluation, "No log" if there is none. `history` is trainer_state.json's log_history; without evaluations
// the table is empty.
std::string closing_table(const nlohmann::ordered_json& history);

}  // namespace berth::train
