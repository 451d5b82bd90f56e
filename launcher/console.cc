#include "launcher/console.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>

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

// mpirun reads its ranks' standard error through a pipe and writes it unchanged to its own. Opens the terminal that mpirun writes
// to, if it is this process's parent and writes to one; else -1.
int open_launchers_terminal(int fd) {
  const std::string parent = "/proc/" + std::to_string(::getppid());
  std::string name;
  std::getline(std::ifstream(parent + "/comm") >> std::ws, name);
  constexpr std::string_view kLaunchers[] = {"mpirun", "mpiexec", "orterun", "prterun"};
  if (std::find(std::begin(kLaunchers), std::end(kLaunchers), name) == std::end(kLaunchers)) return -1;
  const int terminal = ::open((parent + "/fd/" + std::to_string(fd)).c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0 || ::isatty(terminal) == 1) return terminal;
  ::close(terminal);
  return -1;
}

}  // namespace

std::string error_line(std::string_view what) { return concat("berth: ", data::printable(what), "\n"); }

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
  int terminal = fd;
  if (::isatty(fd) != 1 && (terminal = open_launchers_terminal(fd)) >= 0) terminal_ = terminal;
  style_ = TerminalStyle::detect(terminal >= 0, environment_variable);
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
