#include "launcher/logging.h"

#include <boost/date_time/posix_time/posix_time.hpp>
#include <boost/log/attributes/constant.hpp>
#include <boost/log/attributes/value_extraction.hpp>
#include <boost/log/core.hpp>
#include <boost/log/expressions.hpp>
#include <boost/log/sinks/basic_sink_backend.hpp>
#include <boost/log/sinks/sync_frontend.hpp>
#include <boost/log/utility/setup/common_attributes.hpp>
#include <functional>
#include <sstream>

#include "data/check.h"
#include "data/files/record_file.h"
#include "data/utf8.h"

namespace berth::launch {
namespace {

namespace log = boost::log;
namespace sinks = boost::log::sinks;
using log::trivial::severity_level;

severity_level severity_of(const log::record_view& record) {
  return log::extract_or_default<severity_level>("Severity", record, severity_level::info);
}

std::string formatted(const boost::posix_time::ptime& time, const char* format) {
  std::ostringstream out;
  out.imbue(std::locale(out.getloc(), new boost::posix_time::time_facet(format)));  // the locale owns the facet
  out << time;
  return out.str();
}

std::string time_of(const log::record_view& record, const char* format) {
  const auto time = log::extract<boost::posix_time::ptime>("TimeStamp", record);
  return time ? formatted(*time, format) : "";
}

std::string text_of(const log::record_view& record) {
  return data::printable_lines(log::extract_or_default<std::string>("Message", record, std::string()));
}

class ConsoleBackend : public sinks::basic_sink_backend<sinks::synchronized_feeding> {
 public:
  ConsoleBackend(std::shared_ptr<Console> console, int rank) : console_(std::move(console)), rank_(rank) {}
  void consume(const log::record_view& record) {
    console_->line(
        console_line(severity_of(record), time_of(record, "%H:%M:%S"), rank_, name_ + text_of(record), console_->style()));
  }
  void set_name(const std::string& name) { name_ = name.empty() ? "" : name + ": "; }

 private:
  std::shared_ptr<Console> console_;
  int rank_;
  std::string name_;  // of the run whose records come
};

using ConsoleSink = sinks::synchronous_sink<ConsoleBackend>;
boost::shared_ptr<ConsoleSink> console_sink;  // of start_logging
severity_level console_level = severity_level::info;
int own_rank = 0;

// Tells the console of its own failures: they cannot be log records, which are being written just then.
class FileBackend : public sinks::basic_formatted_sink_backend<char, sinks::synchronized_feeding> {
 public:
  FileBackend(const std::filesystem::path& path, std::shared_ptr<Console> console)
      : file_(
            path, [path] { return path; }, [console = std::move(console)](const std::string& what) { warn(*console, what); }) {}
  void consume(const log::record_view&, const string_type& line) { file_.append(line + "\n"); }

 private:
  static void warn(Console& console, const std::string& what) {
    const std::string time = formatted(boost::posix_time::second_clock::local_time(), "%H:%M:%S");
    console.line(console_line(severity_level::warning, time, 0, what, console.style()));
  }
  data::RecordFile file_;
};

void format_for_file(const log::record_view& record, log::formatting_ostream& out) {
  out << time_of(record, "%Y-%m-%d %H:%M:%S.%f") << " rank " << log::extract_or_default<int>("Rank", record, 0) << ' '
      << severity_of(record) << ": " << text_of(record);
}

boost::shared_ptr<log::sinks::sink> add_file(const std::filesystem::path& path, const std::string& level,
                                             std::shared_ptr<Console> console) {
  auto sink = boost::make_shared<sinks::synchronous_sink<FileBackend>>(boost::make_shared<FileBackend>(path, std::move(console)));
  sink->set_formatter(&format_for_file);
  sink->set_filter(log::trivial::severity >= parse_log_level(level));
  log::core::get()->add_sink(sink);
  return sink;
}

std::function<void()>
    open_file;  // of log_to_file: what is left to do before the last error can be written there; empty: there is no file

const char* color_of(severity_level severity) {
  if (severity >= severity_level::error) return "\x1b[31m";
  if (severity == severity_level::warning) return "\x1b[33m";
  return severity < severity_level::info ? "\x1b[2m" : "";
}

}  // namespace

severity_level parse_log_level(const std::string& name) {
  severity_level level{};
  check_usage(log::trivial::from_string(name.data(), name.size(), level), "unknown log level '", name,
              "'; known are trace, debug, info, warning, error and fatal");
  return level;
}

std::string console_line(severity_level severity, const std::string& time, int rank, const std::string& text,
                         const TerminalStyle& style) {
  std::string line;
  if (severity != severity_level::info) line += concat(log::trivial::to_string(severity), ": ");
  if (rank != 0) line += concat("rank ", rank, ": ");
  line += text;
  if (const char* color = color_of(severity); style.color && *color != '\0') line = color + line + "\x1b[0m";
  return time + " " + line;
}

void start_logging(std::shared_ptr<Console> console, const std::string& level, int rank) {
  const severity_level own = parse_log_level(level);
  const auto core = log::core::get();
  core->remove_all_sinks();
  log::add_common_attributes();
  const auto [attribute, added] = core->add_global_attribute("Rank", log::attributes::constant<int>(rank));
  if (!added) attribute->second = log::attributes::constant<int>(rank);
  console_sink = boost::make_shared<ConsoleSink>(boost::make_shared<ConsoleBackend>(std::move(console), rank));
  own_rank = rank;
  console_level = rank == 0 ? own : std::max(own, severity_level::warning);
  console_sink->set_filter(log::trivial::severity >= console_level);
  core->add_sink(console_sink);
}

void log_to_file(const std::filesystem::path& path, const std::string& level, const std::shared_ptr<Console>& console) {
  open_file = [=] { add_file(path, level, console); };
  if (own_rank != 0) return;
  open_file();
  open_file = [] {};
}

void log_last_error(const std::string& what) {
  if (!open_file) return;
  open_file();
  log::core::get()->remove_sink(console_sink);
  BOOST_LOG_TRIVIAL(error) << what;
  stop_logging();
}

RunLogging::RunLogging(const std::string& name, const std::filesystem::path& file, const std::string& level,
                       std::shared_ptr<Console> console) {
  if (!file.empty()) file_ = add_file(file, level, std::move(console));
  console_sink->locked_backend()->set_name(name);
  console_sink->set_filter(log::trivial::severity >= std::max(console_level, severity_level::warning));
}

RunLogging::~RunLogging() {
  if (file_) log::core::get()->remove_sink(file_);
  console_sink->locked_backend()->set_name("");
  console_sink->set_filter(log::trivial::severity >= console_level);
}

void stop_logging() {
  log::core::get()->remove_all_sinks();
  console_sink.reset();
  open_file = nullptr;
}

}  // namespace berth::launch
