// What is made of the options' table for shells and man: berth completion, and berth generate for the installation.
#pragma once

#include <filesystem>
#include <ostream>
#include <string>

namespace berth::launch {

struct CompletionCommand {
  std::string shell;  // bash or zsh
};

struct GenerateCommand {
  std::filesystem::path folder;
};

// Prints the script. Returns the exit code.
int run_completion(const CompletionCommand& command, std::ostream& out);

// Writes man1/berth.1, man1/berth-train.1, …, bash/berth and zsh/_berth into the folder. Returns the exit code.
int run_generate(const GenerateCommand& command);

}  // namespace berth::launch
