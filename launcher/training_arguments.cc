#include "launcher/training_arguments.h"

#include <algorithm>

#include "data/json/json.h"
#include "data/words.h"

namespace berth::launch {
namespace {

using Json = nlohmann::json;

std::string as_text(const Json& value) { return value.is_string() ? value.get<std::string>() : data::dump_json(value); }

// Several ways to say nothing are in use: null, "", [] and {}.
bool is_empty(const Json& value) { return value.is_string() ? value.get_ref<const std::string&>().empty() : value.empty(); }

// Trainer drops the samples that fill no micro-batch, berth those that fill no step.
bool drops_more(const Json& file) {
  const Json accumulated = file.value("gradient_accumulation_steps", Json(1));
  return file.value("dataloader_drop_last", Json(false)) == true && accumulated.is_number() && accumulated > 1;
}

// The integrations that Trainer's list names. TensorBoard is berth's, too; metrics.jsonl, which report.html is made of, is none of them.
void translate_integrations(Json& file, TrainerNotes& notes) {
  const auto found = file.find("report_to");
  if (found == file.end()) return;
  const Json names = found->is_array() ? *found : Json::array({*found});
  Json kept = Json::array({"jsonl"});
  for (const Json& name : names) {
    if (name == "tensorboard" || name == "all" || name == "both")
      kept.push_back("tensorboard");
    else if (name != "none" && name != "jsonl")
      notes.idle.push_back({find_trainer_setting("report_to"), name});
  }
  *found = kept;
}

// Takes the settings that are in the table out of `file`.
std::vector<TrainerNote> take_settings(Json& file) {
  std::vector<TrainerNote> found;
  const auto take_from = [&](Json& object, const std::string& prefix) {
    for (auto it = object.begin(); it != object.end();) {
      std::string name = prefix + it.key();
      std::replace(name.begin(), name.end(), '-', '_');
      const TrainerSetting* setting = find_trainer_setting(name);
      if (setting != nullptr) found.push_back({setting, it.value()});
      it = setting != nullptr ? object.erase(it) : std::next(it);
    }
  };
  if (const auto object = file.find("accelerator_config"); object != file.end() && object->is_object()) {
    take_from(*object, "accelerator_config.");
    if (object->empty()) file.erase(object);
  }
  take_from(file, "");
  return found;
}

// What `value` of `setting` is to berth train: an option in `file`, or a note.
void translate(const TrainerSetting& setting, const Json& value, Json& file, TrainerNotes& notes) {
  using Else = TrainerSetting::Else;
  const auto known =
      std::find_if(setting.values.begin(), setting.values.end(), [&](const auto& it) { return it.first == value; });
  if (known != setting.values.end()) {
    if (known->second && !known->second->empty())
      file[setting.option] = *known->second;
    else
      (known->second ? notes.idle : notes.refused).push_back({&setting, value});
  } else if (setting.otherwise == Else::kUse) {
    if (!value.is_null()) file[setting.option] = value;
  } else {
    const bool idle = setting.otherwise == Else::kIdle || value == setting.standard || value.is_null();
    (idle ? notes.idle : notes.refused).push_back({&setting, value});
  }
}

}  // namespace

const TrainerSetting* find_trainer_setting(const std::string& name) {
  for (const TrainerSettings& group : trainer_settings())
    for (const TrainerSetting& setting : group.settings)
      if (setting.name == name) return &setting;
  return nullptr;
}

std::string TrainerNote::text() const { return concat(setting->name, " ", as_text(value)); }

std::string TrainerNotes::summary() const {
  std::vector<TrainerNote> chosen;
  std::copy_if(idle.begin(), idle.end(), std::back_inserter(chosen),
               [](const TrainerNote& note) { return !is_empty(note.value) && note.value != note.setting->standard; });
  return concat(
      idle.size(), " of Trainer's settings have no effect here, ",
      chosen.empty() ? "all at their defaults" : "of which not at their defaults: ", joined(chosen, ", ", &TrainerNote::text));
}

TrainerNotes translate_trainer_settings(Json& file) {
  std::vector<TrainerNote> found = take_settings(file);
  // Another name for an option wins, as activation_checkpointing does there.
  const auto others =
      std::stable_partition(found.begin(), found.end(), [](const TrainerNote& note) { return note.setting->is_option(); });
  TrainerNotes notes;
  for (const auto& [setting, value] : found) translate(*setting, value, file, notes);
  if (others == found.end()) return notes;  // nothing that only Trainer has
  translate_integrations(file, notes);
  if (drops_more(file)) notes.refused.push_back({find_trainer_setting("dataloader_drop_last"), true});
  return notes;
}

}  // namespace berth::launch
