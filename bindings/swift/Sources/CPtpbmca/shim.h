/* shim.h: what Swift imports as CPtpbmca. The header of an installed library, else the one of this tree. */
#ifndef PTPBMCA_SHIM_H
#define PTPBMCA_SHIM_H

/* Swift on Linux imports C, where the header says nothing about NULL and Swift's names unless it is asked to. */
#ifndef PTPBMCA_NULLABILITY
#define PTPBMCA_NULLABILITY 1
#endif

#if __has_include(<ptpbmca.h>)
#include <ptpbmca.h>
#else
#include "../../../../include/ptpbmca.h"
#endif

#endif
