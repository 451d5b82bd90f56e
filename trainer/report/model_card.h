// The model card of a run: README.md beside the final model, as transformers' Trainer writes one, with the head that the Hugging Face
// Hub reads (https://huggingface.co/docs/hub/model-cards; model-index as huggingface_hub's ModelCardData has it).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace berth::train {

struct ModelCard {
  std::string name;                                      // the run's
  std::string model_class;                               // in transformers: "BertForSequenceClassification"
  bool remote_code = false;                              // which transformers has not: modeling_berth.py
  std::string task;                                      // berth's name
  std::string base_model;                                // as --model names it; "": the weights were random
  bool base_is_hub_name = false;                         // and not a folder of this machine
  std::string data;                                      // the prepared file's name
  std::map<std::string, std::string> data_sha256;        // of the files that it was made of
  std::vector<std::pair<std::string, int64_t>> samples;  // of each split
  std::vector<std::pair<std::string, int64_t>> labels;   // of what it was trained on, how often each; empty: there are none
  std::string evaluated = "validation";                  // the split, or a fold: "fold 2"
  nlohmann::ordered_json evaluation;  // a record of trainer_state.json's log_history, of this model; null: none
  std::vector<std::pair<std::string, std::string>> hyperparameters;
  std::string results;                // closing_table()
  nlohmann::ordered_json jobs;        // of provenance.json
  std::vector<std::string> commands;  // that make data set and model
  std::string environment;            // what they must run on to end in the same bits
  std::string version;                // "berth 0.1.0 (libtorch …)"
};

std::string to_markdown(const ModelCard& card);

// Writes FOLDER/README.md, whole or not at all, unless one is there that berth has not written: false then. Throws Error(kInternal).
bool write_model_card(const std::filesystem::path& folder, const std::string& markdown);

}  // namespace berth::train
