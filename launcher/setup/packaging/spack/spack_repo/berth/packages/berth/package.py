# Builds the clone of berth in which this file lies:
#     spack repo add launcher/setup/packaging/spack/spack_repo/berth
#     spack install berth
import os

from spack_repo.builtin.build_systems.cmake import CMakePackage, generator
from spack_repo.builtin.build_systems.cuda import CudaPackage

from spack.package import *

CLONE = os.path.abspath(os.path.join(os.path.dirname(__file__), *[".."] * 8))


class Berth(CMakePackage, CudaPackage):
    """Fine-tuning of BERT, DistilBERT and ELECTRA for HPC clusters: one program, whose MPI ranks
    train on their GPU or their share of the CPU."""

    git = f"file://{CLONE}"

    license("Apache-2.0", checked_by="berth")

    version("main", branch="main")

    variant("simgrid", default=False, description="Predict other numbers of ranks (berth scale)")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.22:", type="build")
    depends_on("ninja", type="build")

    depends_on("mpi")
    depends_on("py-torch@2.11:", type=("build", "link", "run"))
    depends_on("hdf5@1.10:")
    depends_on("boost@1.71: +atomic+chrono+date_time+filesystem+log+regex+thread")
    depends_on("icu4c")
    depends_on("openssl@1.1:")
    depends_on("protobuf@3.12:")
    depends_on("cli11@1.9:", type="build")
    depends_on("nlohmann-json@3.9:", type="build")
    depends_on("simgrid@3.32:", when="+simgrid")

    with when("+cuda"):
        depends_on("nccl")
        for arch in CudaPackage.cuda_arch_values:
            depends_on(f"py-torch+cuda+nccl cuda_arch={arch}", when=f"cuda_arch={arch}")
    conflicts("cuda_arch=none", when="+cuda", msg="say for which GPUs: cuda_arch=90")

    generator("ninja")

    def cmake_args(self):
        torch = join_path(self.spec["py-torch"].prefix, self["python"].platlib, "torch")
        args = [
            self.define("TORCH_DIR", torch),
            self.define("BERTH_TESTS", False),
            self.define("BERTH_WERROR", False),
            self.define("BERTH_CUDA", "ON" if "+cuda" in self.spec else "OFF"),
        ]
        if "+cuda" in self.spec:
            args += [
                self.define("BERTH_CUDA_ARCHITECTURES", self.spec.variants["cuda_arch"].value),
                self.define("NCCL_DIR", self.spec["nccl"].prefix),
            ]
        return args
