#include "launcher/cmd_generate.h"

#include "data/check.h"
#include "data/files/files.h"
#include "launcher/completion.h"
#include "launcher/manual.h"
#include "launcher/option_names.h"

namespace berth::launch {

int run_completion(const CompletionCommand& command, std::ostream& out) {
  out << (command.shell == "zsh" ? zsh_completion() : bash_completion());
  return 0;
}

int run_generate(const GenerateCommand& command) {
  const auto write = [&](const std::string& name, const std::string& text) {
    const std::filesystem::path path = command.folder / name;
    std::filesystem::create_directories(path.parent_path());
    data::write_durably(path, text);
  };
  write("man1/berth.1", manual_page());
  for (const CommandHelp& help : all_command_help()) write("man1/berth-" + help.subcommand->name + ".1", manual_page(help));
  write("bash/berth", bash_completion());
  write("zsh/_berth", zsh_completion());
  return 0;
}

}  // namespace berth::launch
