// The settings of Hugging Face Trainer, transformers' TrainingArguments, and what they are to berth train: a --config file may be
// what its to_json_string() has written. docs/from-trainer.md shows the same table.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace berth::launch {

struct TrainerSetting {
  enum class Else { kUse, kIdle, kRefuse };

  std::string name;         // there; "accelerator_config.x" of what is in an object
  nlohmann::json standard;  // its default there
  std::string option;       // of berth train, with underscores; "": none
  // What single values are: the option's value, "" without effect, unset refused. Any other value is handed on, has no effect, or is
  // refused, but for `standard` and null, which are then without effect.
  std::vector<std::pair<nlohmann::json, std::optional<std::string>>> values;
  Else otherwise = Else::kUse;
  std::string remark = {};  // why, and what to do instead

  bool is_option() const { return option == name; }
};

struct TrainerSettings {
  std::string title;
  std::vector<TrainerSetting> settings;
};
// All of transformers 5.23, and those that only 4 had.
const std::vector<TrainerSettings>& trainer_settings();
const TrainerSetting* find_trainer_setting(const std::string& name);

// A setting of a file that is no option of berth train at its value.
struct TrainerNote {
  const TrainerSetting* setting;
  nlohmann::json value;
  std::string text() const;  // "optim sgd"
};
struct TrainerNotes {
  std::vector<TrainerNote> idle;     // without effect
  std::vector<TrainerNote> refused;  // would change results
  std::string summary() const;       // of those without effect: how many, and which are not at their defaults
};

// Replaces Trainer's settings in `file`, the JSON object of a --config file, by berth train's options of the same meaning. What is in
// no table stays.
TrainerNotes translate_trainer_settings(nlohmann::json& file);

}  // namespace berth::launch
