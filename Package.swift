// swift-tools-version:5.7
// Package.swift: the library for Swift. The C library is built and installed first; pkg-config finds it.
import PackageDescription

let package = Package(
    name: "ptpbmca",
    platforms: [.macOS(.v11), .iOS(.v14)],
    products: [.library(name: "Ptpbmca", targets: ["Ptpbmca"])],
    targets: [
        .systemLibrary(name: "CPtpbmca", path: "bindings/swift/Sources/CPtpbmca", pkgConfig: "ptpbmca"),
        .target(name: "Ptpbmca", dependencies: ["CPtpbmca"], path: "bindings/swift/Sources/Ptpbmca"),
    ]
)
