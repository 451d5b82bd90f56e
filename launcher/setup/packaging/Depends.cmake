# Run by cpack first: which packages have the libraries that berth loads. Of the program alone, since what comes along with libtorch needs
# no others, and may lack some of a GPU's on the machine where it is packed.
if(NOT CPACK_GENERATOR STREQUAL DEB)
  return()
endif()
find_program(DPKG_SHLIBDEPS dpkg-shlibdeps)
if(NOT DPKG_SHLIBDEPS)
  message(FATAL_ERROR "dpkg-shlibdeps is missing: run launcher/setup/install_deps.sh package")
endif()
set(folder ${CPACK_PACKAGE_DIRECTORY}/shlibdeps)
file(WRITE ${folder}/debian/control "")  # dpkg-shlibdeps runs beside one
execute_process(COMMAND ${DPKG_SHLIBDEPS} --ignore-missing-info -O ${CPACK_BERTH_PROGRAMS} WORKING_DIRECTORY ${folder}
                OUTPUT_VARIABLE depends ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
file(REMOVE_RECURSE ${folder})
string(REGEX REPLACE "^shlibs:Depends=" "" CPACK_DEBIAN_PACKAGE_DEPENDS "${depends}")
