// What --model names: a folder, or a model in the local Hugging Face cache. Never the network.
#pragma once

#include <filesystem>
#include <string>

namespace berth::train {

// A folder is taken as it is; one with a manifest is verified (checkpoint.h). A name ("bert-base-uncased", "org/name") is looked
// up in HF_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub and ~/.cache/huggingface/hub:
// models--org--name/snapshots/<what refs/main says>. Throws Error(kBadInput) that lists where it looked and names like it that are
// there.
std::filesystem::path resolve_model(const std::string& model);

}  // namespace berth::train
