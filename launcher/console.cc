#include "launcher/console.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <span>

#include "data/check.h"
#include "data/utf8.h"

namespace berth::launch {
namespace {

constexpr std::string_view kEraseLine = "\r\x1b[K";

std::string environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// What cannot be written to the console is lost: there is nobody to tell.
void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

bool names_utf8(std::string locale) {
  std::transform(locale.begin(), locale.end(), locale.begin(), [](unsigned char c) { return std::tolower(c); });
  return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
}

constexpr std::string_view kLaunchers[] = {"mpirun", "mpiexec", "orterun", "prterun"},
                           kDaemons[] = {"orted", "prted", "hydra_pmi_proxy"};  // of them, on other hosts

std::string name_of_parent() {
  std::string name;
  std::getline(std::ifstream(concat("/proc/", ::getppid(), "/comm")) >> std::ws, name);
  return name;
}

bool is_among(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// mpirun reads its ranks' standard error through a pipe, their standard output through a terminal that it makes up, and writes both
// unchanged to its own. Opens the terminal that mpirun, this process's parent, writes to, if it does to one; else -1.
int open_launchers_terminal(int fd) {
  const int terminal = ::open(concat("/proc/", ::getppid(), "/fd/", fd).c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0 || ::isatty(terminal) == 1) return terminal;
  ::close(terminal);
  return -1;
}

}  // namespace

std::string error_line(std::string_view what) {
  constexpr size_t kMost = 4000;  // a name in a file may have megabytes
  return concat("berth: ", data::printable(what.substr(0, kMost)), what.size() > kMost ? "…" : "", "\n");
}

TerminalStyle TerminalStyle::detect(bool is_terminal, const std::function<std::string(const char*)>& environment) {
  TerminalStyle style;
  const std::string term = environment("TERM");
  style.terminal = is_terminal && term != "dumb" && !term.empty();
  style.color = style.terminal && environment("NO_COLOR").empty();
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (const std::string locale = environment(name); !locale.empty()) {
      style.utf8 = names_utf8(locale);
      break;
    }
  }
  return style;
}

Console::Console(int fd) : fd_(fd) {
  const std::string parent = name_of_parent();
  if (is_among(kLaunchers, parent)) terminal_ = open_launchers_terminal(fd);
  const bool own = terminal_ < 0 && !is_among(kLaunchers, parent) && !is_among(kDaemons, parent) && ::isatty(fd) == 1;
  style_ = TerminalStyle::detect(own || terminal_ >= 0, environment_variable);
}

Console::~Console() {
  if (terminal_ >= 0) ::close(terminal_);
}

int Console::width() const {
  winsize size{};
  if (::ioctl(terminal_ >= 0 ? terminal_ : fd_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const int columns = std::atoi(environment_variable("COLUMNS").c_str());
  return columns > 0 ? columns : 80;
}

void Console::line(std::string_view text) {
  const std::lock_guard lock(mutex_);
  std::string out;
  if (!status_.empty()) out += kEraseLine;
  out += text;
  out += '\n';
  out += status_;
  write_all(fd_, out);
}

void Console::status(std::string_view text) {
  if (!style_.terminal) return;
  const std::lock_guard lock(mutex_);
  if (status_ == text) return;
  status_ = text;
  write_all(fd_, std::string(kEraseLine) + status_);
}

}  // namespace berth::launch
