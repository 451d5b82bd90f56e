// Names of the functions of the program or library that this is part of, also of those that are local to a source file.
#pragma once

#include <string>

namespace berth::standin {

// Without namespaces, result and parameters; "?" if the symbol table does not know it.
std::string name_of(const void* function);

}  // namespace berth::standin
