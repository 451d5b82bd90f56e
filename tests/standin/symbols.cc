#include "tests/standin/symbols.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>

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

// The functions of an ELF file by address in it.
std::map<uintptr_t, std::string> read_symbols(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
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

// The program or library that these functions are part of.
struct Image {
  Image() {
    Dl_info info{};
    dladdr(reinterpret_cast<const void*>(&name_of), &info);
    address = reinterpret_cast<uintptr_t>(info.dli_fbase);
    symbols = read_symbols(info.dli_fname);
    if (symbols.empty()) symbols = read_symbols("/proc/self/exe");  // a program may have been started by another name
  }
  uintptr_t address = 0;
  std::map<uintptr_t, std::string> symbols;
};

}  // namespace

std::string name_of(const void* function) {
  static std::mutex mutex;
  static std::map<const void*, std::string> names;
  static const Image image;
  const std::lock_guard lock(mutex);
  const auto [it, fresh] = names.try_emplace(function, "?");
  if (fresh) {
    const auto symbol = image.symbols.find(reinterpret_cast<uintptr_t>(function) - image.address);
    if (symbol != image.symbols.end()) it->second = short_name(symbol->second.c_str());
  }
  return it->second;
}

}  // namespace berth::standin
