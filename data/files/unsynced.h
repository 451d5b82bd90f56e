// What is not on disk yet, and is gone if the machine fails: bytes since a file's last sync, and new names since their folder's. Noted only
// where a test asks for such a failure (failpoint.h: CUT). Removals count as done at once.
#pragma once

#include <filesystem>
#include <mutex>
#include <system_error>

namespace berth::data {

// Where it is noted: keeps all other file operations waiting, so that between an operation and its note, or after a failure, there is none.
std::unique_lock<std::recursive_mutex> lock_if_noted();

// After the operation. A new file is empty, an old one (to be appended to) on disk.
void note_open(const std::filesystem::path& file, bool is_new);
void note_new_folder(const std::filesystem::path& folder);
void note_file_sync(const std::filesystem::path& file);
void note_folder_sync(const std::filesystem::path& folder);
// rename(2) with its note.
std::error_code rename_noted(const std::filesystem::path& from, const std::filesystem::path& to);

// Takes it all back, the latest first, and keeps the lock: the process is about to kill itself.
void lose_unsynced();

}  // namespace berth::data
