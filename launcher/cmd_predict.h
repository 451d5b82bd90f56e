// berth predict
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/readers/reader.h"
#include "launcher/ranks.h"
#include "trainer/use/embed.h"
#include "trainer/use/predict.h"

namespace berth::launch {

struct PredictCommand {
  std::vector<std::string> models;     // of several, the probabilities are averaged
  std::vector<std::string> text;       // texts on the command line
  std::vector<std::string> text_pair;  // as many, or none
  std::filesystem::path input;         // or a file; -: standard input
  data::ReaderOptions reader;          // of the file
  std::filesystem::path output;        // JSONL, or a MatrixFile; empty or -: stdout
  train::PredictOptions options;
  std::optional<int> max_length;  // of options.features; unset: the task's
  bool embeddings = false;        // instead of predictions: the texts' vectors
  bool similarity = false;        // or the similarity of the two texts of each pair
  train::EmbedOptions embedding;  // of those two; origin, batch size and precision are those of `options`
  DeviceOptions device;
};

// One result a text, in the order of the input. Texts of the command line are printed as "Text: … => Label: …" unless an output
// is named.
int run_predict(const PredictCommand& command, const std::string& log_level);

}  // namespace berth::launch
