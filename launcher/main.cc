#include <iostream>

#include "data/check.h"

int main() {
  std::cerr << "berth: no subcommand yet\n";
  return static_cast<int>(berth::ExitCode::kUsage);
}
