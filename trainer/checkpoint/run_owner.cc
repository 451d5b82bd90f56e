#include "trainer/checkpoint/run_owner.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <thread>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/members.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kRecordName = ".berth-owner.json";
constexpr uint64_t kMaxRecord = 65536;

std::string first_line(const fs::path& path) {
  std::string line;
  std::ifstream in(path);
  std::getline(in, line);
  return line;
}

// Field 22 of /proc/<pid>/stat (proc(5)); the command before it is in parentheses and may hold anything. 0: no such process, or
// one that has ended and only waits for its parent to notice (field 3: Z or X).
uint64_t start_ticks_of(int64_t pid) {
  const std::string stat = first_line(concat("/proc/", pid, "/stat"));
  const size_t after_command = stat.rfind(')');
  if (after_command == std::string::npos) return 0;
  std::istringstream fields(stat.substr(after_command + 1));
  std::string field;
  fields >> field;
  if (field == "Z" || field == "X") return 0;
  for (int number = 4; number <= 22; ++number) fields >> field;
  return std::strtoull(field.c_str(), nullptr, 10);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string to_text(const OwnerIdentity& owner) {
  const json record{{"host", owner.host},
                    {"boot_id", owner.boot_id},
                    {"pid_namespace", owner.pid_namespace},
                    {"pid", owner.pid},
                    {"start_ticks", owner.start_ticks},
                    {"slurm_job_id", owner.slurm_job_id},
                    {"slurm_restarts", owner.slurm_restarts},
                    {"started", owner.started}};
  return data::dump_json(record, 2) + "\n";
}

// Nothing if it is not a record: nobody can be asked whether he lives then.
std::optional<OwnerIdentity> parse(const std::string& text) {
  OwnerIdentity owner;
  try {
    const json record = data::find_json(text).value_or(nullptr);
    data::read_member(record, "host", owner.host);
    data::read_member(record, "boot_id", owner.boot_id);
    data::read_member(record, "pid_namespace", owner.pid_namespace);
    data::read_member(record, "pid", owner.pid);
    data::read_member(record, "start_ticks", owner.start_ticks);
    data::read_member(record, "slurm_job_id", owner.slurm_job_id);
    data::read_member(record, "slurm_restarts", owner.slurm_restarts);
    data::read_member(record, "started", owner.started);
    return owner;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

struct Record {
  std::string text;
  timespec touched{};
  bool operator==(const Record& other) const {
    return text == other.text && touched.tv_sec == other.touched.tv_sec && touched.tv_nsec == other.touched.tv_nsec;
  }
};

// Nothing if there is none. Opened afresh each time: that makes network file systems ask the server. Throws data::ReadError.
std::optional<Record> read_record(const fs::path& path) {
  try {
    Record record;
    record.text = data::read_file(path, kMaxRecord, &record.touched);
    return record;
  } catch (const data::ReadError&) {
    throw;
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Whether the record still is `text`; one that cannot be read now may be. Nothing: there is none.
std::optional<bool> still_is(const fs::path& path, const std::string& text) {
  try {
    const auto record = read_record(path);
    return record ? std::optional(record->text == text) : std::nullopt;
  } catch (const data::ReadError&) {
    return true;
  }
}

enum class Verdict { kDead, kAlive, kUnknown };

Verdict judge(const OwnerIdentity& owner, const OwnerIdentity& me) {
  const bool same_processes = owner.host == me.host && owner.boot_id == me.boot_id && owner.pid_namespace == me.pid_namespace;
  if (same_processes) {
    const uint64_t ticks = start_ticks_of(owner.pid);
    // Another user's process, which /proc may hide (hidepid).
    if (ticks == 0 && ::kill(static_cast<pid_t>(owner.pid), 0) != 0 && errno == EPERM) return Verdict::kUnknown;
    return ticks == owner.start_ticks ? Verdict::kAlive : Verdict::kDead;
  }
  const bool requeued =
      !me.slurm_job_id.empty() && owner.slurm_job_id == me.slurm_job_id && owner.slurm_restarts < me.slurm_restarts;
  return requeued ? Verdict::kDead : Verdict::kUnknown;
}

[[noreturn]] void refuse(const fs::path& run, const OwnerIdentity& owner) {
  fail(ExitCode::kBadInput, run.string(), ": another job is writing to this run folder (",
       owner.slurm_job_id.empty() ? "" : concat("Slurm job ", owner.slurm_job_id, ", "), "process ", owner.pid, " on ",
       owner.host, ", since ", owner.started, "): wait for it or end it, or use another --output-dir");
}

std::string waiting_for(const fs::path& run, const OwnerIdentity& owner, const OwnerOptions& options) {
  return concat(run.string(), ": was last written to by process ", owner.pid, " on ", owner.host, " (since ", owner.started,
                "), which cannot be asked from here: waiting up to ",
                std::chrono::ceil<std::chrono::seconds>(options.patience).count(),
                " s for a sign of life before its folder is taken over");
}

// Waits until the record is touched (refused), gone, or silent for the whole patience.
void watch(const fs::path& run, const fs::path& path, const Record& first, const OwnerIdentity& owner,
           const OwnerOptions& options) {
  if (options.tell_waiting) options.tell_waiting(waiting_for(run, owner, options));
  const auto end = std::chrono::steady_clock::now() + options.patience;
  while (std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::min(options.heartbeat, options.patience) / 10);
    const auto now = read_record(path);
    if (!now) return;
    if (!(*now == first)) refuse(run, parse(now->text).value_or(owner));
  }
}

// Throws if the folder has a live owner. The text of a dead one's record; nothing: there is none.
std::optional<std::string> stale_record(const fs::path& run, const fs::path& path, const OwnerIdentity& me,
                                        const OwnerOptions& options) {
  const auto record = read_record(path);
  if (!record) return std::nullopt;
  if (const auto owner = parse(record->text)) {
    const Verdict verdict = judge(*owner, me);
    if (verdict == Verdict::kAlive) refuse(run, *owner);
    if (verdict == Verdict::kUnknown) watch(run, path, *record, *owner, options);
  }
  return record->text;
}

// Gives `written` the name `path`, which must be free: of several that try at once one wins.
bool take_free(const fs::path& written, const fs::path& path) {
  if (::link(written.c_str(), path.c_str()) == 0) return true;
  if (errno == EEXIST) return false;
  // No hard links on this file system: the last of several wins, which the others see before they save.
  if (::rename(written.c_str(), path.c_str()) == 0) return true;
  fail(ExitCode::kInternal, path.string(), ": cannot be made: ", std::strerror(errno));
}

// Puts `written` in the place of the record `stale`. Who may do so is whoever makes the claim, a file named after that record: of
// several one.
bool take_over(const fs::path& written, const fs::path& path, const std::string& stale) {
  const fs::path claim = concat(path.string(), ".", data::sha256_hex(stale).substr(0, 16), data::kTempMark, "claim");
  const int fd = ::open(claim.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) {
    // Whoever has it needs a moment; if nothing comes of it, it died there.
    for (int i = 0; i < 100 && fs::exists(claim) && still_is(path, stale) == true; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (still_is(path, stale) == true) ::unlink(claim.c_str());
    return false;
  }
  ::close(fd);
  const bool taken = still_is(path, stale) == true && ::rename(written.c_str(), path.c_str()) == 0;
  ::unlink(claim.c_str());
  return taken;
}

// Makes `written` the record of the folder, or throws.
void take(const fs::path& run, const fs::path& written, const fs::path& path, const OwnerIdentity& me,
          const OwnerOptions& options) {
  constexpr int kMostAttempts = 100;
  for (int i = 0; i < kMostAttempts; ++i) {
    // Taken after all, where a network file system lost the answer and asked again.
    if (const auto record = i > 0 ? read_record(path) : std::nullopt; record && record->text == to_text(me)) return;
    const auto stale = stale_record(run, path, me, options);
    if (stale ? take_over(written, path, *stale) : take_free(written, path)) return;
  }
  fail(ExitCode::kBadInput, path.string(), ": cannot be replaced: remove it if no job writes to ", run.string());
}

}  // namespace

// Touches the record until it is stopped or no longer ours.
struct RunOwner::Heart {
  Heart(const fs::path& record, const std::string& text, std::chrono::milliseconds period)
      : thread([this, record, text, period] {
          std::unique_lock lock(mutex);
          while (!stopped.wait_for(lock, period, [this] { return stop; })) {
            const std::optional<bool> ours = still_is(record, text);
            if (ours == false) return;
            if (ours) ::utimensat(AT_FDCWD, record.c_str(), nullptr, 0);
          }
        }) {}
  ~Heart() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    stopped.notify_one();
    thread.join();
  }

  std::mutex mutex;
  std::condition_variable stopped;
  bool stop = false;
  std::thread thread;  // last: it uses the others
};

OwnerIdentity OwnerIdentity::of_this_process() {
  char host[256] = {}, now[32] = {};
  ::gethostname(host, sizeof(host) - 1);
  const std::time_t seconds = std::time(nullptr);
  std::tm utc{};
  std::strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", ::gmtime_r(&seconds, &utc));
  std::error_code ignored;
  return {host,
          first_line("/proc/sys/kernel/random/boot_id"),
          fs::read_symlink("/proc/self/ns/pid", ignored).string(),
          ::getpid(),
          start_ticks_of(::getpid()),
          environment("SLURM_JOB_ID"),
          std::strtoll(environment("SLURM_RESTART_COUNT").c_str(), nullptr, 10),
          now};
}

RunOwner::RunOwner(const fs::path& run, const OwnerIdentity& identity, const OwnerOptions& options)
    : record_(run / kRecordName), text_(to_text(identity)) {
  data::make_folders(run, ExitCode::kBadInput);
  std::optional<data::DurableFile> written;
  try {
    written.emplace(record_);
    written->write(text_);
    written->finish();
  } catch (const Error& failure) {
    fail(ExitCode::kBadInput, run.string(), ": the output folder cannot be written (", failure.what(), ")");
  }
  take(run, written->temporary(), record_, identity, options);
  heart_ = std::make_unique<Heart>(record_, text_, options.heartbeat);
}

RunOwner::~RunOwner() {
  heart_.reset();
  if (still_is(record_, text_) == true) ::unlink(record_.c_str());
}

void RunOwner::check_still_owner() const {
  if (still_is(record_, text_) == true) return;
  const auto record = read_record(record_);
  const auto owner = record ? parse(record->text) : std::nullopt;
  fail(ExitCode::kBadInput, record_.parent_path().string(), ": this run folder was taken over by another job",
       owner ? concat(" (process ", owner->pid, " on ", owner->host, ")") : "",
       " while this one was silent; nothing more is written");
}

std::string look_for_owner(const fs::path& run, const OwnerIdentity& identity, const OwnerOptions& options) {
  data::check_can_be_written(run, ExitCode::kBadInput);
  const auto record = read_record(run / kRecordName);
  const auto owner = record ? parse(record->text) : std::nullopt;
  const Verdict verdict = owner ? judge(*owner, identity) : Verdict::kDead;
  if (verdict == Verdict::kAlive) refuse(run, *owner);
  return verdict == Verdict::kUnknown ? waiting_for(run, *owner, options) : "";
}

}  // namespace berth::train
