# Debian, not Alpine: Temporal's native core needs glibc.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY .npmrc package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY nest-cli.json tsconfig.json tsconfig.build.json ./
COPY activities ./activities
COPY scripts ./scripts
COPY simulators ./simulators
COPY src ./src
COPY workflows ./workflows
RUN npm run build

FROM node:22-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY .npmrc package.json package-lock.json ./
# The optional packages are the embedded PostgreSQL of `npm start`: an image is given a real one.
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund && npm cache clean --force
COPY config ./config
COPY migrations ./migrations
COPY --from=build /app/dist ./dist
USER node
EXPOSE 3000 3001
# The other roles replace the command: dist/src/worker.js, dist/src/migrate.js, dist/src/key.js.
CMD ["node", "dist/src/main.js"]
