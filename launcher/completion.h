// Scripts by which shells complete berth's commands, options, choices and files: `berth completion bash` and `zsh`.
#pragma once

#include <string>

namespace berth::launch {

std::string bash_completion();
std::string zsh_completion();  // a function for a folder of fpath, or to be sourced

}  // namespace berth::launch
