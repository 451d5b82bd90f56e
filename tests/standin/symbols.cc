#include "tests/standin/symbols.h"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>

namespace berth::standin {
namespace {

std::string short_name(const char* mangled) {
  char* const demangled = abi::__cxa_demangle(mangled, nullptr, nullptr, nullptr);
  std::string name = demangled ? demangled : mangled;
  std::free(demangled);
  for (const char* const what : {"(anonymous namespace)::", "berth::train::cuda::", "berth::train::kernels::"}) {
    for (size_t at; (at = name.find(what)) != std::string::npos;) name.erase(at, std::string(what).size());
  }
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    depth += (name[i] == '<') - (name[i] == '>');
    if (depth == 0 && name[i] == '(') name.resize(i);
  }
  return name.starts_with("void ") ? name.substr(5) : name;
}

// The functions of the program file by address in it.
std::map<uintptr_t, std::string> read_symbols() {
  std::ifstream in("/proc/self/exe", std::ios::binary);
  const std::string file((std::istreambuf_iterator<char>(in)), {});
  const char* const base = file.data();
  std::map<uintptr_t, std::string> symbols;
  const auto* const header = reinterpret_cast<const Elf64_Ehdr*>(base);
  const auto* const sections = reinterpret_cast<const Elf64_Shdr*>(base + header->e_shoff);
  for (int s = 0; s < header->e_shnum; ++s) {
    if (sections[s].sh_type != SHT_SYMTAB) continue;
    const char* const strings = base + sections[sections[s].sh_link].sh_offset;
    const auto* const first = reinterpret_cast<const Elf64_Sym*>(base + sections[s].sh_offset);
    for (const auto* symbol = first; symbol < first + sections[s].sh_size / sizeof *first; ++symbol) {
      if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_value) symbols[symbol->st_value] = strings + symbol->st_name;
    }
  }
  return symbols;
}

// Where the program file is loaded.
uintptr_t load_address() {
  uintptr_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        *static_cast<uintptr_t*>(out) = info->dlpi_addr;
        return 1;  // the first is the program
      },
      &address);
  return address;
}

}  // namespace

std::string name_of(const void* function) {
  static std::mutex mutex;
  static std::map<const void*, std::string> names;
  static const std::map<uintptr_t, std::string> symbols = read_symbols();
  const std::lock_guard lock(mutex);
  const auto [it, fresh] = names.try_emplace(function, "?");
  if (fresh) {
    const auto symbol = symbols.find(reinterpret_cast<uintptr_t>(function) - load_address());
    if (symbol != symbols.end()) it->second = short_name(symbol->second.c_str());
  }
  return it->second;
}

}  // namespace berth::standin
