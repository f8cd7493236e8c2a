/** Jest over Node's own type stripping: exact line numbers, no compiler (see tooling/jest/transform.mjs). */
export default {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  testMatch: ['<rootDir>/{apps,packages}/*/test/**/*.test.ts', '<rootDir>/tests/{cluster,load,spec-coverage,tooling}/**/*.test.ts'],
  transform: { '\\.ts$': '<rootDir>/tooling/jest/transform.mjs' },
  transformIgnorePatterns: ['/node_modules/'],
  globalSetup: '<rootDir>/tooling/jest/global-setup.mjs',
  globalTeardown: '<rootDir>/tooling/jest/global-teardown.mjs',
  reporters: ['default', '<rootDir>/tooling/jest/summary-reporter.mjs'],
  testTimeout: 60_000,
  maxWorkers: 2,
  workerIdleMemoryLimit: '900MB',
  modulePathIgnorePatterns: ['<rootDir>/data', '<rootDir>/.cache'],
}
