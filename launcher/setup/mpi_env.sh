# Sourced before mpirun on one machine: what Open MPI asks for in containers (root) and where ranks outnumber cores. Ranks are not bound
# to one core each: every rank's threads take their share of all. Other MPIs don't look at these variables.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none   # Open MPI 4
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe PRTE_MCA_hwloc_default_binding_policy=none   # Open MPI 5
