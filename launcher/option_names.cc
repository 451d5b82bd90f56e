#include "launcher/option_names.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "data/words.h"
#include "launcher/options.h"
#include "launcher/training_arguments.h"

namespace berth::launch {
namespace {

// What options are called elsewhere, and here by whichever of these names a subcommand has.
struct Synonym {
  std::string name;
  std::vector<std::string> here;
};
const std::vector<Synonym>& synonyms() {
  static const std::vector<Synonym> all{
      {"--lr", {"--learning-rate"}},
      {"--epochs", {"--num-train-epochs"}},
      {"--num-epochs", {"--num-train-epochs"}},
      {"--steps", {"--max-steps"}},
      {"--bs", {"--per-device-train-batch-size", "--global-batch-size"}},
      {"--batch-size", {"--per-device-train-batch-size", "--global-batch-size"}},
      {"--train-batch-size", {"--per-device-train-batch-size", "--global-batch-size"}},
      {"--per-device-batch-size", {"--per-device-train-batch-size", "--per-device-eval-batch-size"}},
      {"--batch-size", {"--per-device-eval-batch-size"}},
      {"--optimizer", {"--optim"}},
      {"--scheduler", {"--lr-scheduler-type"}},
      {"--dropout", {"--hidden-dropout-prob"}},
      {"--gpu", {"--device"}},
      {"--eval-batch-size", {"--per-device-eval-batch-size"}},
      {"--patience", {"--early-stopping-patience"}},
      {"--num-workers", {"--threads"}},
      {"--valid-file", {"--validation-file"}},
      {"--val-file", {"--validation-file"}},
      {"--dev-file", {"--validation-file"}},
      {"--eval-file", {"--validation-file"}},
      {"--label", {"--label-column"}},
      {"--text", {"--text-column"}},
      {"--sep", {"--delimiter"}},
      {"--separator", {"--delimiter"}},
      {"--model", {"--tokenizer"}},
      {"--input", {"--train-file"}},
      {"--output", {"--output-dir"}},
      {"--output-dir", {"--output"}},
  };
  return all;
}

std::string asked(const std::vector<std::string>& names) {
  return names.empty() ? "" : concat("; did you mean ", joined(names, " or "), "?");
}

// "; it is an option of berth prepare, …"; nothing if no subcommand but that of `app` has it.
std::string owner_of(const CLI::App& app, const std::string& name) {
  std::vector<std::string> owners;
  for (const Subcommand& subcommand : subcommands()) {
    CLI::App other;
    CommandLine line;
    subcommand.declare(other, line);
    if (other.get_option_no_throw(name) != nullptr) owners.push_back(subcommand.name);
  }
  if (owners.empty()) return "";
  if (owners.front() == "prepare" && app.get_option_no_throw("--data") != nullptr)
    return "; it is an option of berth prepare, which makes the .h5 file of --data";
  return concat("; it is an option of berth ", joined(owners, ", "));
}

std::string trainers(std::string name) {
  name.erase(0, 2);
  std::replace(name.begin(), name.end(), '-', '_');
  const TrainerSetting* setting = find_trainer_setting(name);
  if (setting == nullptr) return "";
  if (setting->option.empty()) {
    std::string remark = setting->remark;  // Markdown
    std::erase(remark, '`');
    return concat(setting->otherwise == TrainerSetting::Else::kIdle ? "; Trainer's setting has no effect here, leave it out"
                                                                    : "; berth has nothing like Trainer's setting",
                  remark.empty() ? "" : concat(" (", remark, ")"));
  }
  const auto yes = std::find_if(setting->values.begin(), setting->values.end(), [](const auto& it) { return it.first == true; });
  return asked({canonical("--" + setting->option) + (yes == setting->values.end() ? "" : " " + *yes->second)});
}

}  // namespace

std::string canonical(const std::string& argument) {
  if (!argument.starts_with("--")) return argument;
  const size_t end = std::min(argument.find('='), argument.size());
  std::string name = argument.substr(0, end);
  std::replace(name.begin(), name.end(), '_', '-');
  return name + argument.substr(end);
}

std::string option_in(const CLI::App& app, const std::string& argument) {
  const std::string name = argument.substr(0, argument.find('='));
  const CLI::Option* option = name.starts_with("--") ? app.get_option_no_throw(name) : nullptr;
  return option == nullptr ? name : option->get_name();
}

bool has_train_options(const CLI::App& app) { return app.get_option_no_throw("--num-train-epochs") != nullptr; }

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  constexpr size_t kShortest = 4, kMost = 3;
  std::vector<std::string> begun;
  std::copy_if(known.begin(), known.end(), std::back_inserter(begun), [&](const auto& name) { return name.starts_with(word); });
  if (word.size() >= kShortest && !begun.empty() && begun.size() <= kMost) return asked(begun);
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < std::min({best_distance, word.size(), candidate.size()})) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best.empty() ? "" : asked({best});
}

std::string option_hint(const CLI::App& app, const std::string& name) {
  if (!name.starts_with("--")) return "";
  const auto has = [&](const std::string& it) { return app.get_option_no_throw(it) != nullptr; };
  for (const Synonym& synonym : synonyms())
    if (synonym.name == name && std::all_of(synonym.here.begin(), synonym.here.end(), has)) return asked(synonym.here);
  if (const std::string owner = owner_of(app, name); !owner.empty()) return owner;
  if (has_train_options(app))
    if (const std::string known = trainers(name); !known.empty()) return known;
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& one : option->get_lnames()) names.push_back("--" + one);
  return did_you_mean(name, names);
}

}  // namespace berth::launch
